"""Methods for exact zeros that bring an optimizer of their own, each written from its paper."""
