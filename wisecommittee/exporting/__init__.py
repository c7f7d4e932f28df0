"""Writes a committee as files that other programs run, with golden units, and checks them.

May be added: a target, as a module with a function `write` and its line in EXPORTS (targets.py). Needs the extra
`torch`, for ONNX the extra `onnx`; to check ONNX files needs no torch.
"""
