"""Networks in Flax Linen."""

import flax.linen as nn


class LinenGroups(nn.Module):
    """Grouped and depthwise convolutions, GroupNorm."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.GroupNorm(2)(nn.Conv(8, (3, 3))(x)))
        x = nn.Conv(8, (3, 3), feature_group_count=4)(x)
        x = nn.Conv(10, (1, 1))(nn.relu(x))
        x = nn.Conv(10, (3, 3), feature_group_count=10)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(6, (1, 1))(x)))
        return nn.Dense(3)(nn.max_pool(x, (3, 3), (3, 3)).reshape(len(x), -1))


class LinenPostNorm(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.Embed(11, 8)(x)
        h = nn.LayerNorm()(h + nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=8)(h))
        h = nn.LayerNorm()(h + nn.Dense(8)(nn.relu(nn.Dense(12)(h))))
        return nn.Dense(11)(h.mean(1))


class LinenScanBlock(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        x = x + nn.MultiHeadDotProductAttention(num_heads=2, qkv_features=8)(nn.RMSNorm()(x))
        h = nn.RMSNorm()(x)
        h = nn.silu(nn.Dense(12, use_bias=False)(h)) * nn.Dense(12, use_bias=False)(h)
        return x + nn.Dense(8, use_bias=False)(h), None


class LinenScan(nn.Module):
    """Stacked layers under scan, with remat and SwiGLU."""

    @nn.compact
    def __call__(self, x):
        x = nn.Embed(11, 8)(x)
        stacked = nn.scan(
            nn.remat(LinenScanBlock), variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        return nn.Dense(11)(nn.RMSNorm()(stacked()(x, None)[0]))


class LinenGRU(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.RNN(nn.GRUCell(6))(x)[:, -1])


class LinenMixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (2, 2), (2, 2))(x).reshape(len(x), -1, 8)
        y = nn.Dense(9)(nn.gelu(nn.Dense(10)(nn.LayerNorm()(x).swapaxes(1, 2)))).swapaxes(1, 2)
        x = x + y
        return nn.Dense(3)((x + nn.Dense(8)(nn.gelu(nn.Dense(12)(nn.LayerNorm()(x))))).mean(1))
