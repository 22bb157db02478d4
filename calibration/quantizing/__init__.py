"""Any float ONNX model in eight bits: what goes wrong is measured, and what suffers stays float.

In: a float32 model of one input (opset 13 or later) and some of its inputs. Out: the model as a
QDQ graph (`quantize.quantize`): weights int8 per channel, activations uint8 per tensor, biases
int32, a table of its layers, and what was left in float and why.

Promises: the same model, inputs and seed give the same bytes; no pair of weights can overflow
16 bits, so x86 without VNNI counts right (`rounding`); what comes after the last layer (decoding
boxes, distances, softmax) stays in float; the error at the end is measured on the very inputs.
"""
