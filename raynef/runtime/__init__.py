"""runtime: the stages on Ray. Only this package imports Ray or torch.distributed."""
