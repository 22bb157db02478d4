"""How a station is commissioned: from good parts to a bundle.

In: frames of good parts. Out: a bundle with an int8 anomaly model (ONNX and TFLite), thresholds,
lighting baseline, golden and challenge samples and a card that says what it can do.
Promises: thresholds come from scores of parts that the model was not fitted on; figures in the
card are measured by the recipe, never typed; the same frames and seed give the same bytes.
"""
