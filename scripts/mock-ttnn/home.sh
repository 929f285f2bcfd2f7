# Sourced by setup and run: settles MOCK_TTNN_HOME, where environments, boards, kernels and logs are kept.
# The runtime compiles kernels through a shell without quoting, so this path cannot have spaces.
MOCK_TTNN_HOME=${MOCK_TTNN_HOME:-$(realpath -m -- "$(dirname -- "${BASH_SOURCE[0]}")/../../target/mock-ttnn")}
