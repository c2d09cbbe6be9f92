# Short trainings on two cores: bfloat16 autocast, a fast average, a learning rate that ends near zero (by stage).
train_cfg = dict(type="IterBasedTrainLoop", max_iters=4000)
optim_wrapper = dict(
    type="AutocastOptimWrapper",
    precision="bfloat16",
    optimizer=dict(type="AdamW", lr=8e-4, weight_decay=0.0, betas=(0.9, 0.99), fused=True),
    clip_grad=dict(max_norm=1.0),
)
