"""A committee as torch modules: outputs of the members, combination, confidence and decision, ready to be traced.

The same mathematics as committees/ and runtime/ in float32, without branches on values, so that torch.export and ONNX
take it. The tests compare both on the same rows.
"""
