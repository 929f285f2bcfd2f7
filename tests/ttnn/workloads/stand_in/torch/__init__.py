"""As much of torch as ttnn's graph capture asks for; see ../../no_dispatch.py."""


class Tensor:
    pass
