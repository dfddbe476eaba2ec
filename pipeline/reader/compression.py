"""Decompression of stored batches."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import cramjam
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode

from pipeline.reader.malformed import Malformed

Bytes = bytes | memoryview


class Decompressor:
    """Decompresses the records of stored batches into one buffer that is used again.

    Fresh memory for each batch costs as much as the decompressing.
    """

    _WHOLE: Final[Mapping[int, Callable[[Bytes], bytes]]] = MappingProxyType(
        {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}
    )
    _INTO: Final[Mapping[int, Callable[[Bytes, bytearray], int]]] = MappingProxyType(
        {3: cramjam.lz4.decompress_into, 4: cramjam.zstd.decompress_into}
    )
    _LARGEST: Final = 16 << 20

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 20)

    def decompress(self, codec: int, data: Bytes) -> Bytes:
        """Return what was compressed, good until the next call.

        Raises:
            Malformed: the compression is unknown, or the bytes are not of it.
        """
        if codec not in self._WHOLE:
            raise Malformed(f"compression {codec} is unknown")
        if codec in self._INTO:
            try:
                size = self._INTO[codec](data, self._buffer)
            except cramjam.DecompressionError:
                pass  # too large for the buffer, or broken: the next attempt will tell
            else:
                return memoryview(self._buffer)[:size]
        try:
            whole = self._WHOLE[codec](data)
        except (cramjam.DecompressionError, OSError, EOFError, ValueError) as error:
            raise Malformed(f"compression {codec}: {error}") from error
        if len(self._buffer) < len(whole) <= self._LARGEST:
            self._buffer = bytearray(len(whole) + len(whole) // 4)
        return whole
