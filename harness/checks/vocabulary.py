"""The words of which the names of fields are made, by what the field is; numbers of seconds beside units."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a model says: no field below such a name, and none with it, is left out by its name.
PREDICTED = _words(
    "score scores probability probabilities prob probs proba probas confidence confidences logit logits label labels "
    "class classes category categories embedding embeddings vector vectors y yhat target price amount risk rating "
    "similarity weight weights likelihood odds estimate estimates forecast"
)
SAID = PREDICTED | _words("prediction predictions output outputs result results answer answers text value values data")
# What stands beside predictions and is none; an answer of nothing else has nothing to compare.

ABOUT = _words("model version name status ok success code unit units message msg detail schema type service api object")

ID = _words(
    "id ids uuid uuids guid guids ulid nonce etag trace span correlation token signature checksum hash digest ref "
    "reference requestid reqid traceid spanid correlationid transactionid predictionid traceparent requestuuid"
)
ASKED = _words(  # of one request, beyond doubt
    "request req trace span correlation transaction txn call invocation uuid guid ulid nonce requestid reqid traceid "
    "spanid correlationid transactionid predictionid traceparent requestuuid"
)
OF_ID = _words(
    "request req response resp prediction predict pred trace span correlation transaction txn session call invocation "
    "job task run event log message msg execution inference infer operation op x query batch completion server worker "
    "process instance unique tracking audit record row result parent root client external internal api the conversation"
)
TIME = _words(
    "time timestamp timestamps ts date datetime at now utc gmt clock epoch unix iso created updated generated "
    "processed started finished completed served received expires expiry loaded predicted evaluated computed when"
)
OF_TIME = _words(
    "model server request response prediction inference infer predict start end begin stop finish completion last "
    "update current local system run ms ns us s sec seconds millis z responded sent ended logged issued until valid "
    "cached refreshed process processing execution job task event build on trained deployed stamp string str"
)
STEM = _words("latency latencies elapsed took taken processing inference compute execution exec runtime infer predict")
UNITS = {
    **dict.fromkeys(("ns", "nanos", "nanoseconds", "nanosecond"), 1e-9),
    **dict.fromkeys(("us", "micros", "microseconds", "microsecond", "usec"), 1e-6),
    **dict.fromkeys(("ms", "millis", "milliseconds", "millisecond", "msec", "msecs", "latencyms"), 1e-3),
    **dict.fromkeys(("s", "sec", "secs", "seconds", "second"), 1.0),
}
DURATION = STEM | frozenset(UNITS) | _words("duration durations time times timing timings delay wall cpu spent")
OF_DURATION = _words(
    "process prediction predicting model server service request response total run handler gpu query api overall in "
    "backend preprocess preprocessing postprocess postprocessing tokenization load loading queue wait x forward "
    "decode encode feature features handling real serving serve job end to"
)
TIMINGS = _words("timing timings latency latencies durations elapsed profile profiling performance perf")
ASIDE = TIMINGS | _words(
    "meta metadata debug diagnostics telemetry trace tracing headers header server runtime environment env system "
    "stats logs logging monitoring metrics usage"
)
COUNTER = _words(
    "count counter calls requests hits served sequence seq number num remaining quota used invocations queries nr n no "
    "total uptime age ticks"
)
SERVED = _words("requests calls hits served invocations queries uptime")
OF_COUNTER = _words("request req call so far prediction predictions processed rate limit api seconds s of since start")
FLAG = _words("cached cache hit miss warm cold stale warmup")
SOURCE = _words("source origin via")
OF_FLAG = _words("from is was in start model response result status x source origin via first served by the used")
PLACE = _words("host hostname pod worker pid thread tid replica container node served instance backend server machine")
OF_PLACE = _words("id name process ip address by on index number num zone x")
RESOURCE = _words("memory mem rss cpu gpu ram heap queue queued pending inflight uptime vram")
OF_RESOURCE = _words(
    "usage used free mb mib gb kb bytes percent pct load peak size depth length average avg active connections threads "
    "util utilization total requests seconds s process available"
)
# Of a row in its batch.
POSITION = _words("index idx row rows position pos number nr no i id n instance item line record input")
