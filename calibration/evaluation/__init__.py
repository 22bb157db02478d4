"""How good is a bundle on images of known truth, and how sure can one be of that?

In: a bundle, and a folder of images sorted into good ones and kinds of defects. Out: figures with
their bootstrap intervals, tables by class and by slice, the worst mistakes; as JSON and as a page.
Promises: the scores are those a station would give; each figure's definition stands with it; the
same bundle, images and seed give the same figures; what was left out is counted and named.
"""
