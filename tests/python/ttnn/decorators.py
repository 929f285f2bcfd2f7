"""Operations as ttnn has them: a data class whose first field is the public name."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass
class FastOperation:
    python_fully_qualified_name: str
    function: Callable
    is_cpp_operation: bool = True

    def __call__(self, *function_args, **function_kwargs):
        return self.function(*function_args, **function_kwargs)


def composite(function, argument):
    """A Python function of the runtime's own."""
    return function(argument)
