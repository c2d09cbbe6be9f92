"""Contents of a checkpoint of a training."""

from mmengine.logging import HistoryBuffer

from pitikit.engine.checkpoints.contents import collect


def test_the_parts_that_are_asked_for(run, tmp_path):
    runner = run(tmp_path, train_cfg__max_iters=1)
    all_of_it = collect(runner, dict(iter=1))
    assert all_of_it.keys() == {"meta", "state_dict", "logs", "best", "optimizer", "gradients"}
    assert all_of_it["meta"]["iter"] == 1 and all_of_it["meta"]["data"]["draws"] == 2
    assert collect(runner, dict(iter=1), optimizer=False).keys() == {"meta", "state_dict", "logs", "best"}


def test_the_newest_values_of_the_logs(run, tmp_path):
    runner = run(tmp_path, train_cfg__max_iters=1)
    runner.message_hub.log_scalars["train/loss"] = HistoryBuffer(list(range(1500)), list(range(1500)))
    values, counts = collect(runner, dict(iter=1))["logs"]["train/loss"]
    assert values.tolist() == counts.tolist() == list(range(500, 1500))
