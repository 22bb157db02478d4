"""Bring your own model: an ONNX or TFLite file of another library becomes a bundle.

In: a model file, what a person says of it (`Given`), and folders of images. Out: a bundle.
Promises: the model in the bundle takes the camera's own pixels (uint8, channels last, one part at
a time) and gives float32; what the file says of itself is used, what it does not say is asked for
or said aloud; a model that cannot be run right is refused with the reason and the way out, and
then no bundle is written.
"""
