# From scratch: no prior, and so one stage (PITI, table 1: FID 16.3 against 8.9 with the prior).
_base_ = ["./piti_small_mask_one-stage.py"]
load_from = None
load_parts = None
