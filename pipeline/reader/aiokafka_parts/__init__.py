"""The one place that reaches into private parts of aiokafka, and why.

Made for aiokafka 0.14; `tests/contract/test_aiokafka_parts.py` fails on a version where one of
these parts has changed. All changes are made to our own consumer's objects, none to aiokafka.

1. *The answer in one buffer* (`wire`). aiokafka copies every byte of an answer three times on its
   way from the socket, half of the CPU of all reading. `AIOKafkaClient._get_conn` connects with a
   function that it finds by name, `create_conn`; ours does the same, and then gives the transport
   another protocol, which receives into one buffer. `AIOKafkaConnection._handle_frame` takes a
   frame apart by way of `io`; for an answer to a fetch, ours hands out views of the buffer. All
   else (TLS, SASL, time-outs, the closing of connections) stays aiokafka's.
2. *The sieve in the fetcher* (`fetched`). aiokafka makes a Python object of every record, at 3
   times the cost of all the rest. Stored batches are sifted as soon as the answer is there, and
   only what is left of them outlives the buffer. `Fetcher._proc_fetch_request` takes an answer
   apart with two classes that it finds by name, `MemoryRecords` and `PartitionRecords`; ours
   stand for what was sifted already.
3. *Patience* (`client`). `AIOKafkaClient._metadata_update` is called again at once when no broker
   answers: thousands of times a second and half a core for as long as the broker is away.
4. *A bounded end* (`client`). `AIOKafkaConsumer.stop` waits without bound for a broker that is
   away, and can end with its connections and tasks left open; `abandon` closes those.
5. *Whether the coordinator answers* (`client`). A frozen broker keeps its connections, and a join
   may wait on one for half a minute with nothing wrong. So the coordinator is asked something
   else, on the connection for everything else: requests behind a join wait for its answer.
"""
