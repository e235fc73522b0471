"""What a penalty is: its base class and algebra, its fields and strengths, how it meets the leaves."""
