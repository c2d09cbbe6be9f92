# Texts to draw, one file a text: for GLIDE's models, which pitikit does not train.
# GLIDE's vocabulary, GPT-2's encoder.json and vocab.bpe, lies in the folder that the environment variable PITIKIT_BPE
# names, or test_dataloader.dataset.pipeline.0.tokenizer.vocab_path; where a file is missing, the message has its
# address and checksum.
_base_ = ["./loaders.py"]

train_dataloader = None
val_dataloader = None
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type="PairedImageDataset",
        root="{{$PITIKIT_DATA:data}}/texts",
        image=None,
        conditions=dict(caption="{id}.txt"),
        pipeline=[
            dict(
                type="LoadCaption",
                length=128,
                tokenizer=dict(type="GlideTokenizer", vocab_path="{{$PITIKIT_BPE:weights/bpe}}"),
            ),
            dict(type="PackInputs"),
        ],
    ),
)
