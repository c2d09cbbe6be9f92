"""A small UNet2DConditionModel at 64x64, 1.9 M values, behind the encoder of the other small models."""

_base_ = ["../../configs/_base_/models/small64.py"]
plugins = ["plugins/diffusers_prior"]
model = dict(
    denoiser=dict(
        decoder=dict(
            _delete_=True,
            type="DiffusersUNet",
            unet=dict(
                sample_size=64,
                in_channels=3,
                out_channels=3,
                block_out_channels=(24, 48, 48, 72),
                down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
                layers_per_block=1,
                norm_num_groups=8,
                # By a slip of diffusers the number of heads.
                attention_head_dim=(2, 2, 2, 3),
                cross_attention_dim=96,
                # For pooled, as GLIDE's transformer_proj.
                class_embed_type="simple_projection",
                projection_class_embeddings_input_dim=96,
                resnet_time_scale_shift="scale_shift",
            ),
        ),
    ),
    # No variance is predicted, so that there is no variational bound.
    losses=[dict(type="EpsMSE", v_weight=5.0), dict(type="TokenAlignment", grid=16)],
)
