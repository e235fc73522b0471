"""Which leaves of a tree: their paths, opening trees and closing them, selection, joining by path."""
