"""Five stand-in providers: develop against Serevix, APIFRAME, Segmind, Kie and YEScale without an account or a bill.

Each speaks its provider's documented API under its name (`/kie/api/v1/flux/kontext/generate`), checks what the document says
it checks, refuses in the provider's own words, draws real pictures and really calls back. Any key is valid but those that
begin with `bad`. `GET /ledger` tells for each provider how many submissions were received and accepted, how many pictures
were billed and how many callback POSTs were sent; `GET /ledger?prompt=…` the same for one exact prompt.

Words in a prompt bring faults; they can be combined, and mean nothing where they do not apply:

    sandbox:moderated            the content is refused            sandbox:error              the generation fails
    sandbox:slow=SECONDS         it takes so long (up to 600)      sandbox:no-credits         the account is empty
    sandbox:rate-limit=N         the first N submissions of this prompt are answered 429
    sandbox:drop-answer          done and billed, but the connection is cut before the answer
    sandbox:expired-image        the link answers 403, as an Azure link does after its time
    sandbox:no-callback          sandbox:duplicate-callback (two at once)
    sandbox:early-callback       the final callback comes before the answer to the submission (and none before it)
    sandbox:late-progress        a progress callback comes after the end (only APIFRAME knows progress)
    sandbox:bad-secret           a wrong x-webhook-secret (APIFRAME) or signature (Kie, where a key is set)
    sandbox:unreadable-callback  the final callback is a page of HTML

Decisions
- A picture depends on prompt, seed, size and format alone: the same bytes each time, drawn when they are asked for. An absent
  seed is derived from the prompt. Input pictures are checked for being one, never fetched; they change the colours.
- A generation takes 0.3 to 1.5 s, by prompt and seed too. It is billed when it succeeds, before anybody can see the result;
  what failed or was moderated costs nothing.
- Callbacks follow the answer to the submission, even one that is cut: then the work is done first, the connection cut, and the
  callback sent. APIFRAME hears of progress at 40 %, of what takes two seconds or more at 20, 40, 60 and 80 %.
- Kie's callbacks are repeated 1, 5 and 15 s after a failure instead of 1, 5 and 15 min. APIFRAME documents no repetition, so
  each of its callbacks is sent once.
- Links are built from the base URL that the sandbox was told, never from the Host header.
- A task is found only with the key that submitted it. A picture's link needs no key, and expires only where the provider signs it:
  Serevix (10 minutes) and Kie's original (10 minutes).
- Memory is bounded: the latest 10,000 jobs, 5,000 running ones for each provider (more are answered 429), the latest 10,000
  prompts of the ledger, 32 MiB of drawn pictures, 32 MiB for a body.
- When it stops, generations that a client is waiting for are finished, and all others are given up.

The shared parts live here, what is particular to a provider in `providers/<name>/sandbox.py`; `site.py` puts them together.
"""

from relay.providers.sandbox.site import Sandbox

__all__ = ["Sandbox"]
