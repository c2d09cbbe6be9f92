# Sizes of GLIDE's two text models at which random weights sample in a second: 16x16, then 64x64.
words = dict(type="WordTokenizer", words="pitikit.scenes:VOCABULARY")
encoder = dict(type="TextEncoder", tokenizer=words, length=16, width=32, layers=1, heads=2)
decoder = dict(
    type="GlideUNet",
    image_size=16,
    channels=16,
    multipliers=(1, 2),
    res_blocks=1,
    attention_sizes=(8,),
    head_width=16,
    groups=8,
    token_width=32,
    dropout=0.0,
)
enlarging = dict(decoder, image_size=64, multipliers=(1, 1, 2, 2), low_res=True)
pipeline = [dict(type="LoadCaption", length=16, tokenizer=words), dict(type="PackInputs")]
