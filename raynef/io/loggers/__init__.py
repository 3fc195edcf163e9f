"""Logs of metrics for people to look at: TensorBoard, Weights & Biases, MLflow."""
