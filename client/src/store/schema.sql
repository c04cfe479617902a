-- As queries see them; the file holds them sealed. A number, or an id that an index needs, lies in the clear there.
CREATE TABLE node (               -- the one whose store this is
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    identity   BLOB,                        -- its peer id; NULL until its first start
    kept_at    INTEGER NOT NULL DEFAULT 0,  -- ms; when what is too old was last forgotten, 0 = never yet
    doubted_at INTEGER NOT NULL DEFAULT 0,  -- ms; the clock when it was first found far from there, 0 = it is not
    restored   INTEGER NOT NULL DEFAULT 0,  -- it came from a backup: keys and sessions are to be made anew
    newest_bundle INTEGER NOT NULL DEFAULT 0 -- ms; the date of the newest bundle that was destroyed for it
);

CREATE TABLE bundles (            -- one's own, newest first in use, old ones kept for peers who still have them
    hash     BLOB PRIMARY KEY,
    signed   BLOB NOT NULL,
    payload  BLOB NOT NULL,
    secret   BLOB NOT NULL,
    exchange TEXT NOT NULL,       -- key exchange and its shared options
    cipher   TEXT NOT NULL,
    nick     TEXT NOT NULL,
    made     INTEGER NOT NULL,    -- when the keys were made; a new nick signs the same keys again
    created  INTEGER NOT NULL,
    expires  INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE contacts (
    peer       BLOB PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,   -- what it is called here
    nick       TEXT NOT NULL,          -- what it calls itself
    bundle     BLOB NOT NULL,
    problem    TEXT,
    sending    BLOB,                   -- the session that seals
    verified   INTEGER NOT NULL DEFAULT 0,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    blocked    INTEGER NOT NULL DEFAULT 0,
    had        INTEGER NOT NULL DEFAULT 0,  -- the properties ever had with it, a bit each
    rival      BLOB,                        -- another key that claims its name, until the user decides
    settled    INTEGER NOT NULL DEFAULT 0   -- the user has decided that the name is its own
) WITHOUT ROWID;

CREATE TABLE former_names (         -- a name that was given up is nobody else's
    name TEXT PRIMARY KEY,
    peer BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE rooms (
    conversation BLOB PRIMARY KEY,
    address      TEXT NOT NULL UNIQUE, -- what it is called here
    closed       INTEGER NOT NULL,
    joined       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE members (              -- of open rooms, as relays named them
    room      BLOB NOT NULL,
    peer      BLOB NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (room, peer)
) WITHOUT ROWID;

CREATE TABLE room_operations (      -- of closed rooms: who is in them, in the order in which it became known
    room      BLOB NOT NULL,
    n         INTEGER NOT NULL,
    operation BLOB NOT NULL,
    PRIMARY KEY (room, n)
) WITHOUT ROWID;

CREATE TABLE room_peers (           -- what others know of these
    room  BLOB NOT NULL,
    peer  BLOB NOT NULL,
    told  INTEGER NOT NULL,         -- how many of them, in their order, were sent to it
    heard BLOB,                     -- the hash of all that it said it knows
    PRIMARY KEY (room, peer)
) WITHOUT ROWID;

CREATE TABLE closed_texts (         -- of one's own: the hash of the members each was written to
    message BLOB PRIMARY KEY,
    roster  BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
    id               BLOB PRIMARY KEY,
    peer             BLOB NOT NULL,
    initiator        INTEGER NOT NULL,
    binding          BLOB NOT NULL,
    handshake        BLOB,                 -- sent along until the peer is known to have it
    got_context      INTEGER NOT NULL,
    peer_has_context INTEGER NOT NULL,
    exchange         TEXT NOT NULL,
    cipher           TEXT NOT NULL,
    created          INTEGER NOT NULL,
    main             BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_of_peer ON sessions (peer, created);

CREATE TABLE session_rows (
    session BLOB NOT NULL,
    key     BLOB NOT NULL,
    value   BLOB NOT NULL,
    PRIMARY KEY (session, key)
) WITHOUT ROWID;

CREATE TABLE handshakes (           -- accepted first messages, against replay
    session BLOB PRIMARY KEY,
    expires INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE messages (
    id           BLOB NOT NULL,         -- chosen by its author: two authors may choose the same
    conversation BLOB NOT NULL,
    author       BLOB NOT NULL,
    mine         INTEGER NOT NULL,
    in_room      INTEGER NOT NULL,
    text         TEXT NOT NULL,
    sent_at      INTEGER NOT NULL,
    arrived      INTEGER NOT NULL,
    position     INTEGER,             -- NULL while held: something before it is missing
    gap          INTEGER NOT NULL DEFAULT 0,
    previous     BLOB,
    link         BLOB,
    client_id    TEXT UNIQUE,
    state        INTEGER NOT NULL DEFAULT 0,
    reason       TEXT,
    seen         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (id, author)
);
CREATE INDEX messages_by_age ON messages (arrived);
CREATE INDEX messages_in_order ON messages (conversation, position);
CREATE INDEX messages_by_previous ON messages (conversation, author, previous) WHERE mine = 0;
CREATE INDEX messages_by_link ON messages (conversation, author, link) WHERE mine = 0;
CREATE INDEX messages_held ON messages (arrived) WHERE position IS NULL;
CREATE INDEX messages_queued ON messages (conversation, position) WHERE mine = 1 AND state = 0;
CREATE INDEX messages_unread ON messages (conversation, position) WHERE mine = 0 AND seen = 0;

CREATE TABLE deliveries (           -- one a recipient of a message of one's own
    seq         INTEGER PRIMARY KEY,
    message     BLOB NOT NULL,
    peer        BLOB NOT NULL,
    state       INTEGER NOT NULL,
    reason      TEXT,
    previous    BLOB NOT NULL,
    envelope_id BLOB,               -- NULL until there is a session to seal it
    envelope    BLOB,
    session     BLOB,               -- that sealed it
    created     INTEGER NOT NULL,
    UNIQUE (message, peer)
);
CREATE INDEX deliveries_by_envelope ON deliveries (envelope_id);
CREATE INDEX deliveries_open ON deliveries (peer, seq) WHERE state < 3;
CREATE INDEX deliveries_open_in_order ON deliveries (seq) WHERE state < 3;

CREATE TABLE controls (             -- receipts and the like: kept until the relay has stored them
    seq         INTEGER PRIMARY KEY,
    envelope_id BLOB NOT NULL UNIQUE,
    peer        BLOB NOT NULL,
    envelope    BLOB NOT NULL,
    created     INTEGER NOT NULL
);

CREATE TABLE chains (
    conversation BLOB NOT NULL,
    peer         BLOB NOT NULL,
    outgoing     INTEGER NOT NULL,
    link         BLOB NOT NULL,
    PRIMARY KEY (conversation, peer, outgoing)
) WITHOUT ROWID;

CREATE TABLE seen_envelopes (
    id      BLOB NOT NULL,
    sender  BLOB NOT NULL,
    message BLOB,                   -- of a text: a repeat is answered with its receipt
    at      INTEGER NOT NULL,
    frame   BLOB,                   -- hash of what was sealed in it: the same again is a replay
    PRIMARY KEY (id, sender)
) WITHOUT ROWID;
CREATE INDEX seen_envelopes_by_age ON seen_envelopes (at);
CREATE INDEX seen_frames ON seen_envelopes (frame);

CREATE TABLE deleted (              -- messages of others that were deleted: they may be sent once more, and are not taken
    id     BLOB NOT NULL,
    author BLOB NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (id, author)
) WITHOUT ROWID;

CREATE TABLE one_time_keys (        -- one's own, each given to one relay
    id       BLOB PRIMARY KEY,
    secret   BLOB,                  -- NULL: a first message has used it
    exchange TEXT NOT NULL,         -- key exchange and its shared options
    relay    TEXT NOT NULL,
    made     INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX one_time_keys_of_relay ON one_time_keys (relay, made);

CREATE TABLE renewals (             -- after a backup was put back: with whom there is no session yet again
    peer BLOB PRIMARY KEY
) WITHOUT ROWID;
