"""Where a job stands, on one line of a terminal: a bar, and as many words as the width holds."""

from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raynef.io.display import Line

_LEAST, _MOST = 10, 40  # columns of the bar


@dataclass(frozen=True)
class LiveLine:
    """A line as a renderable of rich."""

    line: Line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        state, words = self.line.state, self.line.words()
        room = options.max_width - cell_len(state.stage) - 1
        while words and room - _width(words) < _LEAST:
            words.pop()
        if words:
            row = Table.grid(padding=0)
            size = min(room - _width(words), _MOST)
            bar = ProgressBar(state.total, min(state.done, state.total), width=size)
            row.add_row(f"{state.stage} ", bar, Text("".join(f"  {word}" for word in words)))
            yield row
        else:
            count = f"{state.stage} {state.done}/{state.total}"
            yield Text(count, no_wrap=True, overflow="crop")
        for text in self.line.below:
            yield Text(f"  {text}", no_wrap=True, overflow="ellipsis")


def _width(words: list[str]) -> int:
    return sum(2 + cell_len(word) for word in words)
