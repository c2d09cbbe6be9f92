# Settings of every training: runner, hooks, logs, random numbers.
default_scope = "pitikit"
runner_type = "TranslationRunner"
# On the CPU some layers are replaced by faster ones (pitikit/kernels/) with the same results within rounding, and
# convolutions of patches by ones that are right in bfloat16 too.
accelerate = True
env_cfg = dict(cudnn_benchmark=True)
randomness = dict(seed=0)
log_level = "INFO"
log_processor = dict(type="LogProcessor", by_epoch=False, window_size=50)
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    # A line after the first, every 50th and the last iteration, and at least one in 60 seconds.
    logger=dict(type="LoggerHook", interval=50, seconds=60, log_metric_by_epoch=False),
    param_scheduler=None,
    checkpoint=dict(type="CheckpointHook", interval=1000, by_epoch=False, max_keep_ckpts=3),
    runtime_info=dict(type="RuntimeInfoHook"),
    # log.jsonl in the work directory; with tensorboard=True the folder tensorboard as well.
    run_log=dict(type="RunLogHook", tensorboard=False),
)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
load_from = None
resume = False
