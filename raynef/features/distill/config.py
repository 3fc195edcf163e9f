"""How a distillation runs."""

from dataclasses import dataclass

from raynef.core.errors import UserError, require


@dataclass(frozen=True)
class DistillConfig:
    """How long, on what views and how fast; a run is ``steps`` or ``minutes`` long, not both."""

    steps: int | None = None
    """Optimizer steps; the same seed and steps give the same student."""
    minutes: float | None = None
    """Wall time of training, over all resumptions."""
    batch_size: int = 8
    """Crops of a step at the smallest crop size; larger crops come in smaller batches."""
    crop_sizes: tuple[tuple[int, float], ...] = ((224, 0.7), (320, 0.3))
    """Pairs (side in pixels, share of the steps)."""
    crop_scale: tuple[float, float] = (0.15, 1.0)
    """Range of a crop's share of its image's area."""
    crop_ratio: tuple[float, float] = (0.75, 4 / 3)
    """Range of a crop's width over its height, before it is made square."""
    jitter: float = 0.3
    """Greatest relative change of brightness, contrast and saturation; of teacher and student."""
    cutmix: float = 0.25
    """Share of the steps that paste a rectangle of each crop into its neighbor."""
    learning_rate: float = 1.5e-3
    """Peak of AdamW's rate, after the warm-up; then a cosine to zero."""
    warmup: float = 0.02
    """Share of the run that warms up."""
    weight_decay: float = 0.05
    """On matrices; never on biases, norms or position embeddings."""
    margin: int = 1
    """Patches of mirrored image around what the teacher sees, whose tokens are dropped: some ViTs
    (the augreg ones) keep the same token at the corners of every image, which is nothing to learn.
    """
    middle_weight: float = 0.5
    """Of the loss between the tokens half way, through a projection that is thrown away."""
    clip: float = 1.0
    """Greatest norm of the gradient."""
    ema_decay: float = 0.998
    """Of the averaged weights, which are what is kept."""
    stats_batches: int = 12
    """Batches of teacher tokens that fix the mean and deviation of each channel."""
    autocast: bool = True
    """Run both models in bfloat16 where the device has it; weights stay in float32. On processors
    without it, which take many times as long, this does nothing."""
    cache_mb: int = 2048
    """Decoded images kept in memory."""
    save_every_minutes: float = 5.0
    """Between two savings, that is, what a killed run loses."""
    seed: int = 0

    def check(self) -> None:
        """Raise ``UserError`` for a value that is impossible."""
        if (self.steps is None) == (self.minutes is None):
            raise UserError(
                f"give either steps or minutes, got steps={self.steps} and minutes={self.minutes}"
            )
        require(self.steps is None or self.steps > 0, "steps", "positive", self.steps)
        require(self.minutes is None or self.minutes > 0, "minutes", "positive", self.minutes)
        require(self.batch_size > 0, "batch_size", "positive", self.batch_size)
        require(self.margin >= 0, "margin", ">= 0", self.margin)
        require(bool(self.crop_sizes), "crop_sizes", "at least one pair", self.crop_sizes)
        low, high = self.crop_scale
        require(0 < low <= high <= 1, "crop_scale", "0 < low <= high <= 1", self.crop_scale)
