"""The book around the library: its chapters are run, its site is built, its tables and widgets are made here."""
