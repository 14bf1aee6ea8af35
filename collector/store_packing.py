"""How records are kept small: the batch as it came, a lone record with a dictionary, and old ones together in one block.

Three forms of one text, whose first line is a header and whose other lines are entries, `<seq> <kind> <JSON body>`: deflated
as the probe sent it (costs nothing), deflated with a preset dictionary (a lone record then is as small as one of a batch), and
LZMA (half the size at hundreds of times the cost, for what is not fresh any more: `collector.store_upkeep`). Numbers of forms are
never given to another form. Pure. Source: RFC 1951; the .xz format.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable
from typing import Final

__all__ = ["FINAL_FORM", "deflated_entries", "packed_block", "packed_payload", "stored_entries"]

DEFLATED: Final = 1
DEFLATED_WITH_DICTIONARY: Final = 2
LZMA: Final = 3
FINAL_FORM: Final = LZMA
RAW_DEFLATE_WINDOW: Final = -15
LONE_LEVEL: Final = 6
LZMA_PRESET: Final = 6
# What records have in common, the most frequent last. Never changed: form 2 cannot be read with another one.
DICTIONARY: Final = (
    b'"evidence":[{"kind":"screenshot","name":"","path":"","sha256":"","file_bytes":"side_effects":[{"kind":"upload","name":"'
    b'","sha256":"","read_back":true,"fate":"deleted"}],"failure":{"kind":"timeout","message":"","error_type":"'
    b'"failure":{"kind":"connect","message":"connection refused"failure":{"kind":"status","message":"'
    b'"pages":[{"url":"http://","ready_ns":,"ttfb_ns":,"fcp_ns":,"lcp_ns":,"dom_content_loaded_ns":,"load_ns":,"cls":0.0,'
    b'"drive_ns":,"requests":"outcome":"inconclusive","outcome":"fail","cleanup":true"upload":{"body_bytes":,"bytes_per_s":,'
    b'"stalls":0,"stalled_ns":0,"longest_stall_ns":0,"stall_threshold_ns":50000000}"reused":true,'
    b'"certificate_expires_at":"2026-01-01T00:00:00Z","tls_version":"TLSv1.3"}],"expectations":[{"name":"'
    b'","expected":"","found":"","ok":true},{"name":"","attributes":{"cad.part":"","cad.bytes":,"cad.format":"step"}},'
    b'{"v":1,"fleet":"","region":"","probe":"","epoch":17}\n1 run {"schema_version":1,"identity":{"fleet":"","region":"'
    b'","probe":"","scenario":"api-health","slot_at":"2026-01-01T00:00:00Z"},"run_id":"01k","trace_id":"'
    b'","target":"stand-in","scenario_version":"1","scheduled_at":"2026-01-01T00:00:00Z","started_at":"2026-01-01T00:00:00.0'
    b'Z","duration_ns":,"outcome":"pass","steps":[{"name":"api-health","started_ns":0,"duration_ns":,"outcome":"pass",'
    b'"exchanges":[{"method":"GET","url":"https://","started_ns":,"phases":{"queue_ns":,"dns_ns":,"connect_ns":,"tls_ns":,'
    b'"send_ns":,"wait_ns":,"receive_ns":},"status":200,"request_bytes":,"response_bytes":,"server_address":"127.0.0.1",'
    b'"server_port":443}]}],"schedule_lag_ns":,"target_release":"","clock_offset_ns":,"clock_bound_ns":,'
    b'"fitness":{"loop_lag_ns":,"steal_ratio":0.0}}'
)


def packed_payload(payload: bytes) -> tuple[int, bytes]:
    """Form and content for a payload that `probes.messages.parse_batch` has accepted."""
    form, text = payload[:1], payload[1:]
    if form == b"\x02":
        return DEFLATED, text
    deflate = zlib.compressobj(
        LONE_LEVEL, zlib.DEFLATED, RAW_DEFLATE_WINDOW, zlib.DEF_MEM_LEVEL, zlib.Z_DEFAULT_STRATEGY, DICTIONARY
    )
    return DEFLATED_WITH_DICTIONARY, deflate.compress(text) + deflate.flush()


def deflated_entries(lines: Iterable[bytes]) -> tuple[int, bytes]:
    """Form and content for entries that come from elsewhere than the wire."""
    deflate = zlib.compressobj(LONE_LEVEL, zlib.DEFLATED, RAW_DEFLATE_WINDOW)
    return DEFLATED, deflate.compress(b"\n".join([b"{}", *lines])) + deflate.flush()


def packed_block(lines: Iterable[bytes]) -> tuple[int, bytes]:
    """Form and content for entries of several batches of one probe, in the order in which they will be found again."""
    text = b"\n".join([b"{}", *lines])
    return LZMA, lzma.compress(text, check=lzma.CHECK_CRC32, preset=LZMA_PRESET)


def stored_lines(form: int, content: bytes) -> list[bytes]:
    """The entries of a stored batch as they came; raises ValueError for a form of a later version."""
    if form == DEFLATED:
        text = zlib.decompressobj(RAW_DEFLATE_WINDOW).decompress(content)
    elif form == DEFLATED_WITH_DICTIONARY:
        text = zlib.decompressobj(RAW_DEFLATE_WINDOW, DICTIONARY).decompress(content)
    elif form == LZMA:
        text = lzma.decompress(content)
    else:
        message = f"nobody here knows how to unpack form {form}"
        raise ValueError(message)
    return text.split(b"\n")[1:]


def stored_entries(form: int, content: bytes) -> list[tuple[str, bytes]]:
    """Kind and body of every entry of a stored batch, by line."""
    parts = (line.split(b" ", 2) for line in stored_lines(form, content))
    return [(kind.decode(), body) for _, kind, body in parts]
