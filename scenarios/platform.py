"""The CNC Quote platform as a client: what a customer does, one method each, typed.

Each method does one operation of the target's description (`scenarios.calls`) in the open step and checks what must be true
of any platform. It records what it made, and registers its removal where the target says how. It opens no step itself
except `prepare`, and knows no URL or field. Used by scenario scripts as `probe.platform`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

from probes.errors import BugError
from probes.journey import Journey, SideEffectHandle
from probes.parts import Part
from probes.records import FailureKind
from probes.target_operations import AMOUNTS
from scenarios.calls import Done, Refused, call, results_of
from scenarios.expectations import CENT, expect_sum
from scenarios.results import Analysis, Order, Price, Quote, Upload

__all__ = ["Platform", "open_platform", "part_attributes"]

MOST_READ_BACK_BYTES = 4 * 1024 * 1024
"""Larger files are not read back: the answer would have to be held in memory, and would double the traffic."""

NOT_SEEN = "made by the widget; its own request was not recognised, so nothing is known of it"
ANY_SUCCESS = range(200, 300)
TOO_MANY_REQUESTS = 429


def open_platform(probe: Journey) -> Platform:
    """The platform for one journey; the wiring hands this to `probes.execute`."""
    return Platform(probe)


class Platform:
    """What a customer of the platform can do. One object serves one run and remembers its sign-in."""

    def __init__(self, probe: Journey) -> None:
        self._probe = probe
        self._sign_in: Mapping[str, object] = {}

    def has(self, operation: str) -> bool:
        """True when the target says how `operation` is done."""
        return self._probe.target.has(operation)

    def _placeholders(self, operation: str) -> frozenset[str]:
        return self._probe.target.operation(operation).placeholders() if self.has(operation) else frozenset()

    # --- health and sign-in

    async def health(self, operation: str) -> Mapping[str, str]:
        """Ask one service how it is; returns the instants that its description wants to see moving, by name."""
        done = await self._do(operation)
        return {
            name: str(done.seen[name])
            for request in self._probe.target.operation(operation).requests
            for name, check in request.checks.items()
            if check.moves
        }

    def moving_after_s(self, operation: str) -> float:
        """How long to wait until the operation's instants must have moved; zero when none of them has to."""
        requests = self._probe.target.operation(operation).requests if self.has(operation) else ()
        return max((c.moves_after_s for r in requests for c in r.checks.values() if c.moves), default=0.0)

    async def prepare(self, *operations: str) -> None:
        """Sign in, in a step of its own, if this target wants that for one of the operations; else do nothing."""
        used = {name for operation in operations for name in self._placeholders(operation)}
        needs_token = any(name.startswith("sign_in.") for name in used)
        if needs_token and not self._sign_in:
            async with self._probe.step("sign-in"):
                await self.sign_in()

    async def sign_in(self) -> None:
        """Sign in with the probe's own account; later operations use the token."""
        done = await self._do("sign_in")
        self._sign_in = done.results
        self._expect_own_account(done)

    async def session(self) -> None:
        """Use the token once: it must work, and it must be ours."""
        self._expect_own_account(await self._do("session"))

    async def wrong_password(self) -> None:
        """Try a password that is wrong; a platform that lets it in has no door.

        One that holds the probe off, because it has tried so many, keeps the door shut.
        """
        wrong = f"wrong-{self._probe.run_id}"
        done = await self._do(
            "wrong_password", given={"wrong_password": wrong}, also_accept=(*ANY_SUCCESS, TOO_MANY_REQUESTS)
        )
        status = done.response.status
        refused = status not in ANY_SUCCESS
        found = f"{'refused' if refused else 'signed in'} ({status})"
        self._probe.expect("refused", refused, expected="a refusal", found=found)

    def _expect_own_account(self, done: Done) -> None:
        account = self._probe.target.values.get("email")
        if account is not None and done.has("user"):
            self._probe.expect_equal("account", done.text("user"), account)

    # --- a part

    def quote_part(self) -> Part:
        """The part that this run has quoted: drawn by its seed, so that no platform can learn one answer by heart."""
        choice = self._probe.target.parts.quote
        return self._probe.part(choice[self._probe.seed % len(choice)])

    async def upload(self, part: Part) -> Upload:
        """Send a file that the platform must take."""
        upload = await self.offer(part)
        if isinstance(upload, Refused):
            self._probe.fail(
                FailureKind.STATUS, f"upload of {part.id} was refused with {upload.status}: {upload.message}"
            )
        return upload

    async def offer(self, part: Part) -> Upload | Refused:
        """Send a file that the platform may refuse, politely."""
        name = f"{self._probe.run_id}-{part.upload_name}"
        done = await self._try("upload", given=_file_values(part, name), file=part.path)
        if isinstance(done, Refused):
            return done
        effect = self._probe.made("upload", name, sha256=part.sha256)
        upload = Upload(part, name, done.results, effect)
        self._remove_later(f"delete {name}", "delete_upload", upload, effect)
        if done.has("stored_bytes"):
            self._probe.expect_equal("stored bytes", done.results["stored_bytes"], part.file_bytes)
        return upload

    def adopt_upload(self, part: Part, name: str, answer: object | None) -> None:
        """Record a file that a widget uploaded, and have it removed; `answer` is what the platform told the widget."""
        effect = self._probe.made("upload", name, sha256=part.sha256)
        if answer is None:
            effect.detail = NOT_SEEN
            return
        upload = Upload(part, name, results_of(self._probe, "upload", answer), effect)
        self._remove_later(f"delete {name}", "delete_upload", upload, effect)

    def adopt_quote(self, answer: object | None, token: str) -> None:
        """Record a quote that a widget made, and have it removed with its visitor's own token."""
        if answer is None:
            self._probe.made("quote", "").detail = NOT_SEEN
            return
        results = results_of(self._probe, "quote", answer)
        quote_id = str(results.get("quote_id"))
        effect = self._probe.made("quote", quote_id)
        if token:
            self._sign_in = {"token": self._probe.hide(token)}
        self._remove_later(
            f"delete quote {quote_id}", "delete_quote", Quote(quote_id, "", 0.0, results, effect), effect
        )

    def can_read_back(self, upload: Upload) -> bool:
        """True when the target says how and the file is small enough to be held in memory."""
        return self.has("read_upload") and upload.part.file_bytes <= MOST_READ_BACK_BYTES

    async def read_back(self, upload: Upload) -> None:
        """Read the stored file and compare its hash."""
        done = await self._do("read_upload", given=_file_values(upload.part, upload.name), upload=upload)
        found = hashlib.sha256(done.response.body).hexdigest()
        upload.effect.read_back = found == upload.part.sha256
        self._probe.expect_equal("stored file (SHA-256)", found, upload.part.sha256)

    async def analyse(self, upload: Upload) -> Analysis:
        """Have the part measured and wait until that is done."""
        analysis = await self.try_analyse(upload)
        if isinstance(analysis, Refused):
            message = f"analysis of {upload.part.id} was refused with {analysis.status}: {analysis.message}"
            self._probe.fail(FailureKind.STATUS, message)
        return analysis

    async def try_analyse(self, upload: Upload) -> Analysis | Refused:
        """The same for a part that the platform may refuse, politely."""
        done = await self._try("analyse", given=_file_values(upload.part, upload.name), upload=upload)
        if isinstance(done, Refused):
            return done
        warnings = done.results.get("warnings")
        return Analysis(
            upload,
            done.number("volume_mm3"),
            done.number("area_mm2"),
            self._box(done),
            tuple(str(item) for item in warnings) if isinstance(warnings, list) else None,
            done.results,
        )

    def bad_part_ids(self) -> tuple[str, ...]:
        """The files that a platform must not take as they are, and may be sent here; hostile ones only if allowed."""
        wanted = self._probe.target.parts.invalid
        ids = self._probe.part_ids(tier="invalid")
        if self._probe.target.allows.hostile_files:
            ids += self._probe.part_ids(tier="hostile", hostile=True)
        return tuple(part_id for part_id in ids if any(fnmatchcase(part_id, glob) for glob in wanted))

    def _box(self, done: Done) -> tuple[float, float, float]:
        """The extents, whether the answer has them or only the corners."""
        results = done.results
        if done.has("bbox_mm"):
            extents = _three(results["bbox_mm"])
        else:
            low, high = _three(results.get("bbox_min_mm")), _three(results.get("bbox_max_mm"))
            extents = tuple(b - a for a, b in zip(low, high, strict=True)) if low and high else ()
        self._probe.expect("bounding box", len(extents) == 3, expected="three extents", found=results)
        return extents[0], extents[1], extents[2]

    async def dfm(self, upload: Upload) -> tuple[str, ...]:
        """Have the part checked for manufacturability; the codes of what was found."""
        done = await self._do("dfm", given=_file_values(upload.part, upload.name), upload=upload)
        findings = done.results["findings"]
        is_list = isinstance(findings, list)
        self._probe.expect("findings", is_list, expected="a list of codes", found=findings)
        return tuple(str(code) for code in findings) if isinstance(findings, list) else ()

    # --- money

    async def price(self, analysis: Analysis, quantity: int) -> Price:
        """Ask what `quantity` pieces cost; a price is above zero, in the right currency, and adds up."""
        given = self._order_values(analysis, quantity)
        done = await self._do("price", given=given, upload=analysis.upload, analyse=analysis)
        price = Price(
            quantity, done.text("currency"), done.number("unit_price"), done.number("total_price"), done.results
        )
        self._expect_currency(price.currency)
        self._probe.expect("unit price", price.unit_price > 0, expected="above 0", found=price.unit_price)
        expect_sum(self._probe, f"total of {quantity}", price.total_price, price.unit_price, quantity)
        if done.has("subtotal"):
            expect_sum(self._probe, "subtotal", done.number("subtotal"), price.total_price, 1)
        return price

    async def quote(self, analysis: Analysis, price: Price, *, keep: bool = False) -> Quote:
        """Make a quote for the quantity of `price`; it must cost the same. `keep` one that is going to be paid."""
        given = self._order_values(analysis, price.quantity)
        done = await self._do("quote", given=given, upload=analysis.upload, analyse=analysis, price=price)
        quote = self._made_quote(done, keep=keep)
        self._expect_currency(quote.currency)
        self._probe.expect_close("quote's total", quote.total, price.total_price, abs_tol=CENT)
        return quote

    def can_quote_unmeasured(self) -> bool:
        """True when a quote can be asked for with a file alone, so that a bad file must be refused there too."""
        needs_measures = any(
            name in AMOUNTS or name.startswith(("analyse.", "price.")) for name in self._placeholders("quote")
        )
        return self.has("quote") and not needs_measures

    async def offer_quote(self, upload: Upload) -> Quote | Refused:
        """Ask for a quote for a file that the platform could not measure."""
        quantities = list(self._probe.target.quantities)
        given = {"quantity": quantities[0], "quantities": quantities, "part_id": upload.part.id}
        done = await self._try("quote", given=given, upload=upload)
        return done if isinstance(done, Refused) else self._made_quote(done, keep=False)

    def _made_quote(self, done: Done, *, keep: bool) -> Quote:
        effect = self._probe.made("quote", done.text("quote_id"))
        quote = Quote(done.text("quote_id"), done.text("currency"), done.number("total"), done.results, effect)
        if keep:
            effect.fate, effect.detail = "kept", "a quote that is paid for is no draft"
        else:
            self._remove_later(f"delete quote {quote.id}", "delete_quote", quote, effect)
        return quote

    async def read_quote(self, quote: Quote) -> None:
        """Read the quote again: it must be there and cost the same."""
        done = await self._do("read_quote", quote=quote)
        quote.effect.read_back = done.text("quote_id") == quote.id and abs(done.number("total") - quote.total) <= CENT
        self._probe.expect_equal("quote's id", done.text("quote_id"), quote.id)
        self._probe.expect_close("quote's total", done.number("total"), quote.total, abs_tol=CENT)

    async def checkout(self, quote: Quote) -> Order:
        """Open a payment for the quote, in the target's test mode only."""
        if self._probe.target.allows.payment != "test":
            raise BugError("a payment on a target without a test mode", remedy="Mark the scenario with payment=True")
        done = await self._do("checkout", quote=quote)
        order = Order(quote, done.number("amount"), done.text("currency"), done.results)
        effect = self._probe.made("order", done.text("order_id"))
        effect.fate, effect.detail = "kept", "a payment in test mode; the platform offers no way to delete it"
        self._expect_currency(order.currency)
        self._probe.expect_close("amount", order.amount, quote.total, abs_tol=CENT)
        return order

    async def settle(self, order: Order) -> None:
        """Approve the payment in test mode and wait until the platform says that it is settled, for the same amount."""
        done = await self._do("settle", quote=order.quote, checkout=order)
        self._expect_currency(done.text("currency"))
        self._probe.expect_close("amount", done.number("amount"), order.amount, abs_tol=CENT)

    def _expect_currency(self, found: str) -> None:
        if (wanted := self._probe.target.values.get("currency")) is not None:
            self._probe.expect_equal("currency", found, wanted)

    def _order_values(self, analysis: Analysis, quantity: int) -> dict[str, object]:
        x, y, z = analysis.bbox_mm
        return {
            "quantity": quantity,
            "quantities": list(self._probe.target.quantities),
            "part_id": analysis.upload.part.id,
            "volume_mm3": analysis.volume_mm3,
            "volume_cm3": analysis.volume_mm3 / 1000,
            "area_mm2": analysis.area_mm2,
            "area_cm2": analysis.area_mm2 / 100,
            "bbox_x_mm": x,
            "bbox_y_mm": y,
            "bbox_z_mm": z,
        }

    # --- how an operation is done

    async def _try(
        self, operation: str, *, given: Mapping[str, object], file: Path | None = None, **scopes: HasResults
    ) -> Done | Refused:
        """An operation that may be refused politely."""
        return await call(self._probe, operation, given=given, scopes=self._scopes(scopes), file=file, refusable=True)

    async def _do(
        self,
        operation: str,
        *,
        given: Mapping[str, object] | None = None,
        also_accept: Collection[int] = (),
        **scopes: HasResults,
    ) -> Done:
        """An operation that must succeed."""
        done = await call(self._probe, operation, given=given, scopes=self._scopes(scopes), also_accept=also_accept)
        if isinstance(done, Refused):
            raise BugError(f"{operation} may not be refused, and was")
        return done

    def _scopes(self, scopes: Mapping[str, HasResults]) -> dict[str, Mapping[str, object]]:
        return {"sign_in": self._sign_in, **{name: earlier.results for name, earlier in scopes.items()}}

    def _remove_later(self, name: str, operation: str, thing: Upload | Quote, effect: SideEffectHandle) -> None:
        """Register the removal of what was made, or note that the platform offers none."""
        if not self.has(operation):
            effect.fate, effect.detail = "kept", "the target's description has no way to delete it"
            return

        async def remove() -> None:
            if isinstance(thing, Upload):
                await self._do(operation, given=_file_values(thing.part, thing.name), upload=thing)
            else:
                await self._do(operation, quote=thing)

        self._probe.on_cleanup(name, remove, undoes=effect)


class HasResults(Protocol):
    """Something an earlier operation brought: later ones use its results by the operation's name."""

    @property
    def results(self) -> Mapping[str, object]:
        """The results that the target's description names."""
        ...


def part_attributes(part: Part) -> dict[str, Any]:
    """What tells the steps of different parts apart in a record."""
    return {"cad.part": part.id, "cad.format": part.format, "cad.bytes": part.file_bytes}


def _file_values(part: Part, name: str) -> dict[str, object]:
    return {
        "file_name": name,
        "file_bytes": part.file_bytes,
        "media_type": part.media_type,
        "extension": Path(part.upload_name).suffix.removeprefix("."),
        "sha256": part.sha256,
    }


def _three(value: object) -> tuple[float, ...]:
    """Three numbers, or nothing."""
    if not isinstance(value, list) or len(value) != 3:
        return ()
    return tuple(float(item) for item in value)
