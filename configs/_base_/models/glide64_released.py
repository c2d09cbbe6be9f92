# As the released code samples, where it differs from the paper: plain classifier-free guidance.
_base_ = ["./glide64.py"]
model = dict(sampler=dict(guidance=dict(_delete_=True, type="CFG", scale=1.3)))
