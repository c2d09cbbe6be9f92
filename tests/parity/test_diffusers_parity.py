"""Samplings beside the schedulers of diffusers: the same network, noise and timesteps, in float64."""

import pytest
import torch

from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler, DiffusersSampler, DPMSolverSampler, UniPCSampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning

diffusers = pytest.importorskip("diffusers")

SHAPE, ROWS = (3, 8, 8), 2
TOLERANCE = 1e-4


class Draws:
    """Noise that is drawn in the order of a scheduler with one generator."""

    def __init__(self, seed, first=None, dtype=torch.float64):
        self.generator = torch.Generator().manual_seed(seed)
        self.first, self.dtype = first, dtype

    def randn(self, shape):
        if self.first is not None:
            first, self.first = self.first, None
            return first
        return torch.randn(ROWS, *shape, generator=self.generator, dtype=self.dtype).double()


def start():
    return torch.randn(ROWS, *SHAPE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def network(schedule):
    """Nearly the noise of Gaussian data, with a variance, and with something that no solver has exactly."""

    def decode(x, t, cond=None):
        t = torch.as_tensor(t).expand(len(x)).long()
        eps = (1 - schedule.at(t)).sqrt() * x + 0.05 * (3 * x + t.view(-1, 1, 1, 1) / 200).sin()
        return torch.cat([eps, (2 * x).sin()], dim=1)

    return decode


def bound(schedule):
    cond = Conditioning(torch.zeros(ROWS, 1, 1), torch.zeros(ROWS, 1))
    return BoundDenoiser(network(schedule), schedule, cond)


def theirs(scheduler, schedule, steps, variance=False):
    """Their loop, and the timesteps that it visits."""
    scheduler.set_timesteps(steps)
    x, generator, decode = start(), torch.Generator().manual_seed(9), network(schedule)
    for t in scheduler.timesteps:
        output = decode(x, t)
        output = output if variance else output[:, :3]
        drawn = {"generator": generator} if not isinstance(scheduler, diffusers.UniPCMultistepScheduler) else {}
        x = scheduler.step(output, t, x, **drawn).prev_sample
    return x, tuple(scheduler.timesteps.tolist())


def arguments(schedule, **more):
    name = "squaredcos_cap_v2" if schedule.betas[-1] > 0.5 else "linear"
    return dict(num_train_timesteps=1000, beta_schedule=name, beta_start=1e-4, beta_end=0.02, **more)


SOLVER = dict(lambda_min_clipped=-5.1)
CASES = {
    "ddim": (diffusers.DDIMScheduler, dict(clip_sample=False), DDIMSampler, {}),
    "ddpm": (diffusers.DDPMScheduler, dict(clip_sample=False), DDPMSampler, dict(variance="small")),
    "ddpm-learned": (
        diffusers.DDPMScheduler,
        dict(clip_sample=False, variance_type="learned_range"),
        DDPMSampler,
        dict(variance="learned"),
    ),
    "2m": (diffusers.DPMSolverMultistepScheduler, SOLVER, DPMSolverSampler, {}),
    "2m-sde": (
        diffusers.DPMSolverMultistepScheduler,
        dict(SOLVER, algorithm_type="sde-dpmsolver++"),
        DPMSolverSampler,
        dict(eta=1.0),
    ),
    "1m": (diffusers.DPMSolverMultistepScheduler, dict(SOLVER, solver_order=1), DPMSolverSampler, dict(order=1)),
    "unipc": (diffusers.UniPCMultistepScheduler, dict(solver_order=2), UniPCSampler, {}),
    "unipc-1": (diffusers.UniPCMultistepScheduler, dict(solver_order=1), UniPCSampler, dict(order=1)),
}


@pytest.mark.parametrize("steps", [10, 20, 50])
@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("case", list(CASES))
def test_a_sampling_is_theirs(case, name, steps):
    kind, options, sampler, own = CASES[case]
    schedule = NoiseSchedule(name)
    scheduler = kind(**arguments(schedule, **options))
    if case.startswith("unipc") and name == "squaredcos_cap_v2":
        # They have no limit for it: the timesteps of 2M, which begins below the cliff.
        limited = diffusers.DPMSolverMultistepScheduler(**arguments(schedule, **SOLVER))
        limited.set_timesteps(steps)
        scheduler.set_timesteps(steps)
        index = limited.timesteps
        scheduler.sigmas[:-1] = (1 / scheduler.alphas_cumprod[index] - 1).sqrt()
        scheduler.timesteps = index
        scheduler.set_timesteps = lambda steps: None
    expected, timesteps = theirs(scheduler, schedule, steps, variance=case == "ddpm-learned")
    # DPM-Solver's noise is in float32 there.
    draws = Draws(9, start(), torch.float32 if case == "2m-sde" else torch.float64)
    ours = sampler(steps=timesteps, clip_x0=False, **own)(bound(schedule), draws, SHAPE)
    assert len(timesteps) == steps and expected.std() > 0.1
    torch.testing.assert_close(ours, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_timesteps_are_theirs(spacing):
    schedule = NoiseSchedule()
    for steps in (10, 20, 50):
        scheduler = diffusers.DDIMScheduler(timestep_spacing=spacing)
        scheduler.set_timesteps(steps)
        assert schedule.spaced(steps, spacing) == scheduler.timesteps.tolist()[::-1]


def test_the_published_numbers_of_their_ddim_test():
    """``full_loop_no_noise`` of diffusers: sum 172.0067 and mean 0.223967 of the absolute values."""
    shape, total = (3, 8, 8), 4 * 3 * 8 * 8
    sample = (torch.arange(total).reshape(3, 8, 8, 4) / total).permute(3, 0, 1, 2)
    schedule = NoiseSchedule("linear")

    def decode(x, t, cond):
        return x * (t / (t + 1)).view(-1, 1, 1, 1)

    denoise = BoundDenoiser(decode, schedule, Conditioning(torch.zeros(4, 1, 1), torch.zeros(4, 1)))
    made = DDIMSampler(10, spacing="leading")(denoise, Draws(0, sample), shape).abs()
    assert float(made.sum()) == pytest.approx(172.0067, abs=1e-2)
    assert float(made.mean()) == pytest.approx(0.223967, abs=1e-3)


@pytest.mark.parametrize(
    "case, name",
    [("ddim", "DDIMScheduler"), ("2m", "DPMSolverMultistepScheduler"), ("unipc", "UniPCMultistepScheduler")],
)
def test_their_scheduler_as_a_sampler_is_their_loop(case, name):
    schedule = NoiseSchedule("linear")
    kind, options, _, _ = CASES[case]
    expected, _ = theirs(kind(**arguments(schedule, **options)), schedule, 20)
    options = {name: value for name, value in options.items() if name != "clip_sample"}
    sampler = DiffusersSampler(name, 20, clip_x0=False, options=options)
    torch.testing.assert_close(sampler(bound(schedule), Draws(9, start()), SHAPE), expected, atol=1e-5, rtol=0)
