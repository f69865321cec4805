/* Take-over by a standby: two schedulers share a journal that takes an append only from the newest
 * incarnation and at the expected place (decision 4). One may be paused at any time, also between
 * its decision and its append; the other then takes over by raising the incarnation durably.
 *  - No event is appended by two writers at one place, none is lost once it was acknowledged.
 *  - Only what the newest writer wrote is acknowledged after the take-over: one leader's word.
 *  - Epochs, made of incarnation and counter, are given once.
 * -DNO_INCARNATION: the journal does not look at the writer's incarnation. -DNO_EXPECT: it does not
 * look at the expected place. -DNO_RAISE: who takes over only counts one more than it has read, and
 * does not write that down. */
#define WRITERS 2
#define APPENDS 4
#define TAKEOVERS 3

byte journal_incarnation;
byte journal_length;
byte journal_writer[8];     /* incarnation that appended event i */
byte acknowledged[8];       /* incarnation whose event i was acknowledged; 0: not yet */

byte incarnation[WRITERS];  /* as each believes; 0: no leader */
byte believed[WRITERS];     /* length of the journal as each believes */
byte takeovers;

/* For the proof alone. */
byte newest;                /* the leader that took over last */
byte taken[TAKEOVERS + 1];  /* epochs that were used, of each incarnation, as bits */

proctype Writer(byte w) {
  byte at, counter;
end:
  do
  /* A warm standby: it has read the journal up to here, and is behind by what comes meanwhile. */
  :: atomic { incarnation[w] == 0 && believed[w] != journal_length -> believed[w] = journal_length }
  /* Takes over: raises the incarnation durably. */
  :: atomic {
       incarnation[w] == 0 && takeovers < TAKEOVERS ->
       takeovers++;
#ifdef NO_RAISE
       incarnation[w] = journal_incarnation + 1;
#else
       journal_incarnation++;
       incarnation[w] = journal_incarnation;
#endif
       newest = incarnation[w];
       counter = 0
     }
  /* Decides; it may be paused for as long as it likes before it appends. */
  :: incarnation[w] != 0 && believed[w] < APPENDS ->
     at = believed[w];
     atomic {
       if
#ifdef NO_RAISE
       :: incarnation[w] < journal_incarnation -> incarnation[w] = 0
#elif !defined(NO_INCARNATION)
       :: incarnation[w] != journal_incarnation -> incarnation[w] = 0 /* refused: it resigns */
#endif
#ifndef NO_EXPECT
       :: at != journal_length -> incarnation[w] = 0
#endif
       :: else ->
          /* Written at its place, whatever lay there, with an epoch of its own. */
#ifdef NO_RAISE
          journal_incarnation = incarnation[w]; /* only now */
#endif
          assert(journal_writer[at] == 0);             /* nothing is written over */
          assert(at == 0 || journal_writer[at - 1] != 0); /* nothing is left out */
          assert(incarnation[w] == newest);            /* nobody writes after a take-over */
          assert((taken[incarnation[w]] & (1 << counter)) == 0); /* an epoch is given once */
          taken[incarnation[w]] = taken[incarnation[w]] | (1 << counter);
          counter++;
          journal_writer[at] = incarnation[w];
          if
          :: at + 1 > journal_length -> journal_length = at + 1
          :: else -> skip
          fi;
          believed[w] = at + 1;
          acknowledged[at] = incarnation[w]
       fi;
       at = 0
     }
  od
}

active proctype World() {
  byte i;
  run Writer(0);
  run Writer(1);
end:
  do
  :: atomic {
       i = 0;
       do
       :: i < journal_length ->
          assert(acknowledged[i] == 0 || acknowledged[i] == journal_writer[i]);
          i++
       :: else -> break
       od;
       i = 0
     }
  od
}
