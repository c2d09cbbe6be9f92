# From scratch: no prior, and so one stage.
_base_ = ["./piti_small_camvid_one-stage.py"]
load_from = None
load_parts = None
