"""Eight float32 lanes side by side: LLVM's words, loops over them, arrays within kernels."""
