"""Measure every pocket model on scenes that training did not see; write QUALITY.md, samples.png.

    python -m pocket.evaluate                   about six minutes on two cores
    python -m pocket.evaluate segment styles    some of them; what QUALITY.md says of the others stays

The split "seen" has the pairs of colour and shape that training had, in other scenes; every scene
of "unseen" has at least one pair that training never showed. What drawn pictures show is judged by
`weights/judge` (a classifier trained apart), by Canny and by the readers (segmentation, depth,
pose), which no drawing model was trained with. The ceiling is what the same judge says of real
scenes, or for edges of real scenes that went through the VAE.
"""
