"""The only way to hosts: declare, evaluate, fetch, execute. Importing it imports nothing heavy."""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """Stands for a module that is loaded when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


# paramiko runs `Match exec` of ~/.ssh/config by it, and nothing else: as long as nobody writes that, paramiko
# takes half the time to import.
sys.modules.setdefault("invoke", _Late("invoke"))
