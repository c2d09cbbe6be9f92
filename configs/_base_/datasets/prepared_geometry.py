# Images, normals and depth as tools/prepare_data.py writes them. The fragment of a set, such as diode_geometry.py, adds
# where they are and what loads them.
_base_ = ["./loaders.py"]

# What follows the loading: of a model at 64x64 in training and in a test, of a cascade to 256x256 in a test.
small = dict(type="ResizePair", size=256, image_size=64)
pack = dict(type="PackInputs", keep=["depth"])
augmented = [small, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")]
plain = [small, pack]
whole = [dict(type="ResizePair", size=256, image_size=256), pack]

val_dataset = dict(
    type="PairedImageDataset",
    image="images/val/{id}.*",
    conditions=dict(normals="normals/val/{id}.png", depth="depth/val/{id}.*"),
    test_mode=True,
)
train_dataloader = dict(
    dataset=dict(
        type="PairedImageDataset",
        image="images/train/{id}.*",
        conditions=dict(normals="normals/train/{id}.png", depth="depth/train/{id}.*"),
    )
)
val_dataloader = dict(dataset=val_dataset)
test_dataloader = dict(dataset=val_dataset)
