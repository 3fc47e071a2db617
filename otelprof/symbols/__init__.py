"""Addresses to functions: symbol tables, kallsyms, debug files, demangling."""
