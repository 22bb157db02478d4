"""How a model comes to be: recipes that anyone can run again, and what they made.

In: the weights' package and drawn pictures. Out: `trunk/lite0_int8.onnx`, which all fitting builds
on, `trunk/lite0_float.onnx`, which int8 is compared with, and `simulated_line.bundle`, the
reference bundle. `make models` runs the recipes.
Promises: no training framework is needed; nothing that ships was made from anybody's photographs;
the same package and seed give the same bytes on the same machine. `NOTICE` holds the licences.
"""
