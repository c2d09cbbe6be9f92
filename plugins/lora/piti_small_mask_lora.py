"""SceneWorld label maps: the encoder alone, then encoder and low-rank updates of the decoder (between fixed and joint).

python tools/train.py plugins/lora/piti_small_mask_lora.py
python tools/test.py plugins/lora/piti_small_mask_lora.py work_dirs/piti_small_mask_lora/ema.safetensors
"""

_base_ = ["../../configs/scenes/piti_small_mask.py"]
plugins = ["plugins/lora"]
model = dict(
    denoiser=dict(
        decoder=dict(_delete_=True, type="LoRADecoder", decoder={{_base_.model.denoiser.decoder}}, rank=8),
    ),
)
load_from = dict(decoder="weights/scenes_prior.safetensors", allow_new="decoder.lora.*")
stages = [
    dict(name="encoder", until=500, train=["encoder"], lr=1e-3, warmup=50, drop=0.0),
    dict(
        name="low-rank",
        train=["encoder", "decoder.lora"],
        lr=1e-3,
        lr_end=2e-5,
        encoder_lr=0.5,
        warmup=50,
        drop=0.1,
    ),
]
