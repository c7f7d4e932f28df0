"""Eight float32 lanes side by side: LLVM instructions, loops built from them, new arrays within kernels."""
