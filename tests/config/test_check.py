"""The check of a whole config: exact for our own parts, patient with mmengine's."""

import pytest
from mmengine.hooks import EMAHook

from pitikit.config import ConfigError, check_config


def complaints(**cfg):
    with pytest.raises(ConfigError) as caught:
        check_config(cfg)
    return str(caught.value).splitlines()


def test_all_complaints_come_at_once_with_their_places():
    lines = complaints(
        model=dict(
            type="DenoisingTranslator",
            denoiser=dict(decoder=dict(type="GlideUNet", chanels=32)),
            losses=[dict(type="EpsMSE"), dict(type="VariationalBond")],
        ),
        custom_hooks=[dict(type="StageHook", stage=[])],
    )
    assert len(lines) == 3
    assert lines[0].startswith("model.denoiser.decoder.chanels: GlideUNet takes no argument")
    assert "did you mean" in lines[0]
    assert lines[1].startswith("model.losses.1.type: no loss is registered as 'VariationalBond'")
    assert "'VariationalBound'" in lines[1]
    assert lines[2].startswith("custom_hooks.0.stage: StageHook") and "'stages'" in lines[2]


def test_an_argument_of_another_component_may_be_inherited():
    (line,) = complaints(model=dict(sampler=dict(guidance=dict(type="DynamicThreshold", scale=2))))
    assert "takes no argument 'scale'" in line and "write _delete_=True" in line
    (line,) = complaints(model=dict(sampler=dict(guidance=dict(type="DynamicThreshold", percentil=1))))
    assert "'percentile'" in line and "_delete_" not in line


def test_a_missing_argument_is_named_where_it_belongs():
    guidance = dict(type="Interval", guidance=dict(type="Autoguidance", scale=2))
    sampler = dict(type="DDIMSampler", guidance=guidance)
    decoder, weights = complaints(model=dict(type="Upsampler", denoiser=dict(encoder=None), sampler=sampler))
    assert decoder == "model.denoiser: Denoiser got no 'decoder', expected a value; set model.denoiser.decoder"
    place = "model.sampler.guidance.guidance"
    assert weights == f"{place}: Autoguidance got no 'weights', expected a value; set {place}.weights"


def test_a_misspelt_argument_is_not_missing_as_well():
    (line,) = complaints(model=dict(sampler=dict(guidance=dict(type="Autoguidance", weigths="a.pth"))))
    assert "takes no argument 'weigths'" in line


def test_what_is_given_at_the_build_is_not_missing():
    check_config(dict(train_dataloader=dict(sampler=dict(type="DrawSampler"), dataset=dict(type="SceneWorld"))))


def test_a_denoiser_without_a_type_is_checked_as_one():
    (line,) = complaints(model=dict(type="DenoisingTranslator", denoiser=dict(encodre=None)))
    assert line.startswith("model.denoiser.encodre: Denoiser") and "'encoder'" in line


@pytest.mark.parametrize(
    ("guidance", "place"), [(dict(type="AdamW"), ""), ([dict(type="CFG"), dict(type="AdamW")], "1.")]
)
def test_a_part_of_the_wrong_kind_is_named(guidance, place):
    (line,) = complaints(model=dict(sampler=dict(type="DDIMSampler", steps=5, guidance=guidance)))
    assert line.startswith(f"model.sampler.guidance.{place}type: 'AdamW' is registered as optimizer")
    assert "expected one of guidance" in line


def test_a_sampler_of_a_loader_is_no_sampler_of_images():
    (line,) = complaints(train_dataloader=dict(sampler=dict(type="InfinitSampler")))
    assert "data sampler" in line and "'InfiniteSampler'" in line


def test_a_type_has_to_be_a_name_or_a_class():
    check_config(dict(custom_hooks=[dict(type=EMAHook, momentum=0.1)]))
    (line,) = complaints(custom_hooks=[dict(type=3)])
    assert line.startswith("custom_hooks.0.type: expected a name")


@pytest.mark.parametrize(
    "cfg",
    [
        dict(optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1.0), paramwise_cfg=dict(x=1))),
        dict(optim_wrapper=dict(clip_grad=dict(type="norm", max_norm=1.0))),
        dict(optim_wrapper=dict(constructor="Mine", generator=dict(type="OptimWrapper", optimizer=dict(type="SGD")))),
        dict(
            param_scheduler=[
                dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=5),
                dict(type="CosineAnnealingLR", T_max=5, convert_to_iter_based=True),
            ]
        ),
        dict(
            default_hooks=dict(
                timer=dict(type="IterTimerHook", priority="LOW"),
                param_scheduler=dict(type="ParamSchedulerHook"),
                logger=None,
                checkpoint=dict(type="CheckpointHook", interval=1, save_best="auto", rule="less"),
            )
        ),
        dict(custom_hooks=[dict(type="EMAHook", momentum=0.1, update_buffers=True)]),
        dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=5, val_interval=2)),
        dict(train_cfg=dict(by_epoch=False, max_iters=5), val_cfg=dict(), test_cfg=dict()),
        dict(
            train_dataloader=dict(
                batch_size=1,
                num_workers=0,
                persistent_workers=False,
                num_batch_per_epoch=3,
                sampler=dict(type="DefaultSampler", shuffle=True),
                collate_fn=dict(type="default_collate"),
            )
        ),
        dict(
            visualizer=dict(vis_backends=[dict(type="LocalVisBackend")], name="v"),
            log_processor=dict(window_size=5, by_epoch=False),
            env_cfg=dict(cudnn_benchmark=True, mp_cfg=dict(), dist_cfg=dict(backend="gloo")),
            randomness=dict(seed=1),
            anything=dict(at="all"),
        ),
        dict(model=dict(type="mmengine.BaseDataPreprocessor", non_blocking=True)),
        dict(optim_wrapper=dict(optimizer=dict(type="ZeroRedundancyOptimizer", lr=1.0))),
    ],
)
def test_what_mmengine_takes_passes(cfg):
    check_config(cfg)


@pytest.mark.parametrize(
    ("cfg", "start"),
    [
        (dict(optim_wrapper=dict(optimiser=1)), "optim_wrapper.optimiser: OptimWrapper"),
        (dict(param_scheduler=dict(type="LinearLR", end_fact=1)), "param_scheduler.end_fact"),
        (dict(log_processor=dict(windowsize=1)), "log_processor.windowsize: LogProcessor"),
        (dict(train_dataloader=dict(workers=1)), "train_dataloader.workers: unknown key"),
        (dict(randomness=dict(sead=1)), "randomness.sead: unknown key"),
        (dict(train_cfg=dict(type="IterBasedTrainLoop", max_iter=5)), "train_cfg.max_iter"),
        (dict(custom_hooks=[(dict(type="Nowhere"),)]), "custom_hooks.0.0.type: no hook"),
    ],
)
def test_what_mmengine_does_not_take_is_found(cfg, start):
    (line,) = complaints(**cfg)
    assert line.startswith(start), line


def test_a_variable_of_the_file_is_checked_where_it_is_used_and_nowhere_else():
    unused = dict(type="Nowhere", inner=[dict(type="OptimWrapper", optimzer=1)])
    check_config(dict(load=[unused], resize=dict(type="ResizePair", sze=3), type=unused, model=None))
    for place, cfg in {"model": dict(model=unused), "custom_hooks.0": dict(custom_hooks=[unused])}.items():
        assert any(line.startswith(f"{place}.type: ") for line in complaints(resize=unused, **cfg))


def test_a_hook_named_like_another_key_is_a_hook():
    (line,) = complaints(default_hooks=dict(param_scheduler=dict(type="ParamSchedulerHok")))
    assert "no hook" in line and "'ParamSchedulerHook'" in line


MODEL = dict(type="DenoisingTranslator", denoiser=None)


@pytest.mark.parametrize(
    ("cfg", "line"),
    [
        (
            dict(model=dict(MODEL, sampler=dict(type="DDIMSampler", guidance=dict(type="CFG", scale="abc")))),
            "model.sampler.guidance.scale: found 'abc', a str; expected float",
        ),
        (
            dict(model=dict(MODEL, sampler=dict(type="DDIMSampler", steps=1.5))),
            "model.sampler.steps: found 1.5, a float",
        ),
        (
            dict(model=dict(MODEL, denoiser=dict(decoder=dict(type="GlideUNet", channels="big")))),
            "model.denoiser.decoder.channels: found 'big', a str; expected int",
        ),
        (dict(train_dataloader=dict(batch_size="x")), "train_dataloader.batch_size: found 'x', a str; expected int"),
        (dict(stages=[dict(name="a", lr="1e-4")]), "stages.0.lr: found '1e-4', a str; expected float"),
        (dict(randomness=dict(seed="abc")), "randomness.seed: found 'abc', a str"),
        (dict(resume="maybe"), "resume: found 'maybe', a str; expected bool"),
        (dict(train_cfg=dict(type="TranslationTrainLoop", max_iters="many")), "train_cfg.max_iters: found 'many'"),
        (dict(optim_wrapper=dict(optimizer=dict(type="AdamW", lr="fast"))), "optim_wrapper.optimizer.lr: found 'fast'"),
        (dict(model="small"), "model: found 'small'; expected a dict, such as dict(type='small', ...)"),
        (dict(train_dataloader=3), "train_dataloader: found 3; expected a dict"),
        (dict(val_cfg="x"), "val_cfg: found 'x', a str"),
        (dict(runner_type="TranslationRuner"), "runner_type: no runner is registered as 'TranslationRuner'; did you"),
        (dict(runner_type=3), "runner_type: no runner is registered as 3"),
        (dict(env_cfg=dict(cudnn_benchmrk=True)), "env_cfg.cudnn_benchmrk: unknown key 'cudnn_benchmrk'; did you"),
        (dict(train_cfg=dict(by_epoch=False, max_iter=3)), "train_cfg.max_iter: unknown key 'max_iter'; did you"),
        (dict(default_hooks=dict(checkpint=dict(interval=3))), "default_hooks.checkpint: unknown key"),
        (dict(default_hooks=dict(checkpint=dict(type="CheckpointHook"))), "default_hooks.checkpint: unknown key"),
        (dict(default_hooks=dict(images=None)), "default_hooks.images: unknown key"),
        (dict(visualizer=dict(type="Visualizer", nam="x")), "visualizer.nam: Visualizer takes no argument"),
    ],
)
def test_values_and_keys_that_would_fail_later_are_named(cfg, line):
    (found,) = complaints(**cfg)
    assert found.startswith(line), found


@pytest.mark.parametrize(
    "cfg",
    [
        dict(default_hooks=dict(images=dict(type="SampleGridHook", interval=5))),
        dict(runner_type="TranslationRunner", resume=True, load_from="a.pth", val_cfg=None),
        dict(model=dict(MODEL, sampler=dict(type="DDIMSampler", steps="ddim50"), timestep_sampler="uniform")),
        dict(model=dict(MODEL, sampler=dict(type="DDIMSampler", steps=(1, 5), eta=0))),
        dict(train_dataloader=dict(batch_size=2, prefetch_factor=None)),
        dict(optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1, betas=[0.9, 0.99]))),
        dict(custom_hooks=[dict(type="DenoiserEMA", decay=1)]),
    ],
)
def test_values_that_can_stand_for_others_pass(cfg):
    check_config(cfg)
