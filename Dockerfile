# raynef in a container: `docker build -t raynef .`, then
#
#   docker run --rm --shm-size 2g -v "$PWD:/work" raynef train --recipe folder --data.root photos --out runs/photos
#
# On the CPU as it is. For NVIDIA GPUs build with `--build-arg TORCH_INDEX=` (torch's wheels bring CUDA along) and run
# with `--gpus all`. Ray keeps its objects in /dev/shm, which `--shm-size` makes large enough.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision
COPY . /src
RUN pip install --no-cache-dir "/src[onnx,heic]" && rm -rf /src
WORKDIR /work
ENTRYPOINT ["raynef"]
CMD ["--help"]
