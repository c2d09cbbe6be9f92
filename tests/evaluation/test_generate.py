"""The loop that makes images: seeds, order, what is kept, what several ranks share."""

import pytest
import torch

from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.evaluation.generate import batches_of_rank, build_test_loader, evaluating, generate
from pitikit.models.translator import DenoisingTranslator, to_uint8


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
        decoder = dict(
            type="GlideUNet", image_size=16, channels=16, multipliers=(1,), res_blocks=1, attention_sizes=(16,),
            head_width=8, groups=8, token_width=16,
        )  # fmt: skip
        model = DenoisingTranslator(
            dict(encoder=encoder, decoder=decoder), sampler=dict(type="DDPMSampler", steps=3), seed=6
        )
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return model.train()


def item(index):
    return dict(
        id=f"i{index}",
        condition=torch.full((3, 32, 32), 40 * index, dtype=torch.uint8),
        image=torch.full((3, 16, 16), 30 * index, dtype=torch.uint8),
    )


ITEMS = [item(index) for index in range(5)]


class Shelf:
    """A store in memory."""

    def __init__(self):
        self.images, self.inputs, self.reads = {}, {}, []

    def read(self, name, sample, inputs):
        self.reads.append((name, sample))
        return self.images.get((name, sample)) if self.inputs.get(name, inputs) == inputs else None

    def write(self, name, sample, image, inputs):
        assert (name, sample) not in self.images
        self.images[name, sample], self.inputs[name] = image.clone(), inputs


def loader(items=None, batch_size=2, **place):
    return build_test_loader({}, ITEMS if items is None else items, batch_size, **place)


def made(batches):
    return {(image.id, image.sample): image.image for done in batches for image in done.images}


def test_an_image_is_that_of_its_seed_and_id(model):
    batches = list(generate(model, loader(), SamplingRequest(seeds=(4, 5))))
    assert [[image.id for image in done.images] for done in batches] == [
        ["i0", "i0", "i1", "i1"],
        ["i2", "i2", "i3", "i3"],
        ["i4", "i4"],
    ]
    assert all(image.made and image.low_res is None for done in batches for image in done.images)
    prepared = model.data_preprocessor({"condition": ITEMS[3]["condition"][None]})["condition"]
    with evaluating(model):
        alone = model.sample(prepared, SamplingRequest([sample_seed(5, "i3")])).images
    assert (to_uint8(alone)[0].int() - made(batches)["i3", 1].int()).abs().max() <= 1
    # The model's own seed where a request has none, and as many rows at once as are asked for.
    own = made(generate(model, loader(), rows=1))
    assert own.keys() == {(f"i{index}", 0) for index in range(5)}
    assert made(generate(model, loader(), SamplingRequest(seeds=[6]), rows=1)).keys() == own.keys()
    again = made(generate(model, loader(), SamplingRequest(seeds=[6]), rows=1))
    assert all(torch.equal(own[key], again[key]) for key in own)


def test_the_model_is_in_its_own_mode_between_batches(model):
    for _ in generate(model, loader()):
        assert model.training and model.denoiser.training
    model.denoiser.decoder.eval()
    for _ in generate(model, loader(ITEMS[:1])):
        assert model.training and not model.denoiser.decoder.training
    model.train()


def test_what_is_there_is_not_made_again_and_a_broken_batch_gives_the_same_bytes(model):
    whole, shelf = made(generate(model, loader())), Shelf()
    for number, _ in enumerate(generate(model, loader(), store=shelf)):
        if number == 1:
            break
    assert set(shelf.images) == {(f"i{index}", 0) for index in range(4)}
    # As if the process had been killed between two files of a batch.
    del shelf.images["i3", 0]
    kept, shelf.reads = dict(shelf.images), []
    batches = list(generate(model, loader(), store=shelf))
    assert [[image.made for image in done.images] for done in batches] == [[False, False], [False, True], [True]]
    assert shelf.reads == [(f"i{index}", 0) for index in range(5)]
    assert all(shelf.images[key] is kept[key] for key in kept)
    found = made(batches)
    assert all(torch.equal(found[key], whole[key]) for key in whole)


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_ranks_make_the_bytes_of_one_process(model, world_size):
    whole = made(generate(model, loader()))
    parts = [made(generate(model, loader(rank=rank, world_size=world_size))) for rank in range(world_size)]
    assert sum(map(len, parts)) == len(whole)
    assert all(torch.equal(image, whole[key]) for part in parts for key, image in part.items())


def test_ranks_have_whole_batches():
    assert [batches_of_rank(11, 3, rank, 2) for rank in (0, 1)] == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10]]
    assert [batches_of_rank(3, 2, rank, 4) for rank in range(4)] == [[0, 1], [2], [], []]
    assert batches_of_rank(5, 2) == list(range(5))


def test_start_and_mask_come_with_the_batch(model):
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[:, :8] = True
    items = [{**each, "start": each["image"], "mask": mask} for each in ITEMS]
    for (name, _), image in made(generate(model, loader(items), SamplingRequest(strength=0.7))).items():
        given = ITEMS[int(name[1:])]["image"]
        assert torch.equal(image[:, :8], given[:, :8]) and not torch.equal(image[:, 8:], given[:, 8:])
    with pytest.raises(ValueError, match="generate: got start or mask in the request, expected them in the batches"):
        next(generate(model, loader(items), SamplingRequest(start=torch.zeros(2, 3, 16, 16))))
    kept = made(generate(model, loader(items), SamplingRequest(strength=0.0)))
    assert all(torch.equal(image, ITEMS[int(name[1:])]["image"]) for (name, _), image in kept.items())


def test_a_batch_has_what_its_sampling_cost_and_its_labels(model):
    labels = [dict(each, label=torch.full((4, 4), index, dtype=torch.uint8)) for index, each in enumerate(ITEMS)]
    seen = []

    class Seeing(type(model.sampler)):
        def __call__(self, *arguments, **more):
            seen.append(arguments[-1].label)
            return super().__call__(*arguments, **more)

    sampler = Seeing(steps=3, guidance=dict(type="CFG", scale=2.0))
    shelf = Shelf()
    request = SamplingRequest([1, 2], sampler)
    batches = list(generate(model, loader(labels), request, shelf))
    # Two seeds, three steps, two calls.
    assert [(done.sampled, done.calls) for done in batches] == [(4, 24), (4, 24), (2, 12)]
    assert all(done.seconds > 0 for done in batches)
    assert [rows[:, 0, 0].tolist() for rows in seen] == [[0, 0], [1, 1], [2, 2], [3, 3], [4], [4]]
    # What is in the store costs nothing; a batch that lacks one is made as a whole.
    shelf.images.pop(("i0", 0))
    again = list(generate(model, loader(labels), request, shelf))
    assert [(done.sampled, done.calls) for done in again] == [(2, 12), (0, 0), (0, 0)] and again[1].seconds == 0


def test_a_guidance_gets_what_it_needs_of_the_batch(model):
    items = [
        dict(each, depth=torch.full((4, 4), float(place)), other=torch.ones(1)) for place, each in enumerate(ITEMS)
    ]
    seen = []

    class Seeing(type(model.sampler)):
        needs = ("depth", "condition")

        def __call__(self, *arguments, **more):
            seen.append(arguments[-1].members)
            return super().__call__(*arguments, **more)

    list(generate(model, loader(items), SamplingRequest([1, 2], Seeing(steps=1))))
    assert [each["depth"][:, 0, 0].tolist() for each in seen] == [[0, 0], [1, 1], [2, 2], [3, 3], [4], [4]]
    assert all(found.keys() == {"depth", "condition"} for found in seen)
    assert seen[0]["condition"].shape[1:] == ITEMS[0]["condition"].shape
