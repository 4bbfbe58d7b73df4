# The server, on processors by default:   docker build -t unveil .
# on CUDA:                                 docker build -t unveil --build-arg INDEX=cu128 .
#                                          docker run --gpus all -p 127.0.0.1:7860:7860 -e UNVEIL_TOKEN=a-long-secret unveil
FROM python:3.11-slim

# The name of torch's package index: cpu, cu126, cu128, ...
ARG INDEX=cpu

RUN useradd --create-home --uid 1000 unveil
WORKDIR /opt/unveil
COPY pyproject.toml constraints.txt sbom.cdx.json README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --extra-index-url "https://download.pytorch.org/whl/${INDEX}" -c constraints.txt '.[web]'

USER unveil
ENV GRADIO_ANALYTICS_ENABLED=False HF_HUB_OFFLINE=1 OMP_WAIT_POLICY=PASSIVE
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
# Other machines reach 0.0.0.0, so it asks for UNVEIL_TOKEN, or for --no-auth: docker run unveil --no-auth
ENTRYPOINT ["unveil", "web", "--host", "0.0.0.0"]
