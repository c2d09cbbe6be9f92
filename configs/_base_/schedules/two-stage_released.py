# As the released code trains, where it differs from the paper: stage 2 at 3.5e-5.
_base_ = ["./two-stage.py"]
stages = [
    dict(name="encoder", until=200_000, train=["encoder"], lr=3.5e-5, drop=0.0),
    dict(name="encoder-drop", until=260_000, train=["encoder"], lr=2e-5, drop=0.2),
    dict(name="joint", train=["encoder", "decoder"], lr=3.5e-5, drop=0.2),
]
