# shellcheck shell=bash
# Sourced by setup and run: settles MOCK_TTNN_HOME, where environments, boards, kernels and logs are kept.
# The runtime puts this path unquoted on the kernel compiler's command line, so it cannot have spaces.

if [ -z "${MOCK_TTNN_HOME-}" ]; then
  MOCK_TTNN_HOME=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)/target/mock-ttnn
  case $MOCK_TTNN_HOME in
    *[[:space:]]*) MOCK_TTNN_HOME=${XDG_CACHE_HOME:-$HOME/.cache}/tt-memtrace/mock-ttnn ;;
  esac
fi
case $MOCK_TTNN_HOME in
  /*) ;;
  *) MOCK_TTNN_HOME=$PWD/$MOCK_TTNN_HOME ;;
esac
case $MOCK_TTNN_HOME in
  *[[:space:]]*) echo "MOCK_TTNN_HOME cannot have spaces: $MOCK_TTNN_HOME" >&2; exit 2 ;;
esac
