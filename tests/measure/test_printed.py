"""How a description looks: as text, in colours, as HTML."""

import html.parser
import io

import jax.numpy as jnp
import numpy as np
import pytest
import rich
from rich.console import Console

from penalties import L1, L2, describe

from trees import PARAMS


class TestPrinted:
    def test_table(self):
        assert str(
            describe((L1(0.5) + L2(0.25)).on("**/kernel"), PARAMS | {"step": np.int32(3)})
        ) == "\n".join(
            [
                "leaf          shape   dtype    penalty             value  share          zeros",
                "------------------------------------------------------------------------------",
                "dense/bias    (2,)    float32  none                               2 of 2, 100%",
                "dense/kernel  (2, 2)  float32  L1(0.5) + L2(0.25)    4.5   100%    2 of 4, 50%",
                "step          ()      int32    not trained",
                "------------------------------------------------------------------------------",
                "total                          4 of 6 weights        4.5   100%  4 of 6, 66.7%",
            ]
        )

    @pytest.mark.parametrize("columns", ["20", "80", "100", "200"])
    def test_long_paths_fold_and_are_never_cut(self, monkeypatch, columns):
        monkeypatch.setenv("COLUMNS", columns)
        path = "".join(chr(ord("a") + i % 26) for i in range(150))
        lines = str(describe(L1(1e-4), {path: jnp.ones((1, 1, 1, 1, 1, 1, 1, 1, 1, 1))})).splitlines()
        assert all(len(line) <= max(80, int(columns)) for line in lines)
        head = max(i for i, line in enumerate(lines) if set(line) == {"-"} and i < len(lines) // 2)
        assert "".join(line.split(" ")[0] for line in lines[head + 1 : -2]).startswith(path)
        assert "…" not in "".join(lines)

    def test_plain_characters_and_no_colour_codes(self):
        text = str(describe(L1(1.0), PARAMS))
        assert text.isascii()
        assert "\x1b" not in text
        assert text == repr(describe(L1(1.0), PARAMS))

    def test_brackets_are_no_markup(self):
        text = str(describe(L1(np.ones(2, np.float32)), {"[red]a[/red]": jnp.ones(2)}))
        assert "[red]a[/red]" in text
        assert "L1(float32[2])" in text

    def test_rich_print(self, capsys):
        rich.print(describe(L1(1.0).on("**/kernel"), PARAMS))
        assert "dense/kernel" in capsys.readouterr().out

    def test_rich_dims_what_is_not_penalized(self):
        console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=120)
        console.print(describe(L1(1.0).on("**/kernel"), PARAMS))
        lines = console.file.getvalue().splitlines()
        assert any("dense/bias" in line and "\x1b[2m" in line for line in lines)
        assert not any("dense/kernel" in line and "\x1b[2m" in line for line in lines)

    def test_a_bare_array_and_an_empty_tree(self):
        assert "(the array)" in str(describe(L1(1.0), jnp.ones(2)))
        assert "0 of 0 weights" in str(describe(L1(1.0), {}))


class TestHTML:
    def cells(self, markup: str) -> list[tuple[str, str, str]]:
        """(tag, style, text) of each cell; fails on tags that are not closed in order."""
        cells, open_tags = [], []

        class Parser(html.parser.HTMLParser):
            def handle_starttag(self, tag, attrs):
                open_tags.append(tag)
                if tag in ("td", "th"):
                    cells.append([tag, dict(attrs)["style"], ""])

            def handle_endtag(self, tag):
                assert open_tags.pop() == tag

            def handle_data(self, data):
                cells[-1][2] += data

        parser = Parser()
        parser.feed(markup)
        parser.close()
        assert not open_tags
        return [tuple(cell) for cell in cells]

    def test_the_same_cells_as_the_text(self):
        description = describe(L1(0.5).on("**/kernel"), PARAMS)
        texts = [text for _, _, text in self.cells(description._repr_html_())]
        assert texts[:7] == ["leaf", "shape", "dtype", "penalty", "value", "share", "zeros"]
        assert texts[14:21] == ["dense/kernel", "(2, 2)", "float32", "L1(0.5)", "2", "100%", "2 of 4, 50%"]
        assert texts[21:] == ["total", "", "", "4 of 6 weights", "2", "100%", "4 of 6, 66.7%"]

    def test_text_is_escaped(self):
        path = '<script>&"'
        markup = describe(L1(1.0), {path: jnp.ones(2)})._repr_html_()
        assert "<script>" not in markup
        assert self.cells(markup)[7][2] == path

    def test_numbers_to_the_right_and_no_colours_of_its_own(self):
        markup = describe(L1(1.0), PARAMS)._repr_html_()
        sides = ["right" in style for _, style, _ in self.cells(markup)]
        assert sides == 4 * [False, False, False, False, True, True, True]
        assert "color" not in markup.replace("border-collapse", "")
        assert "background" not in markup
