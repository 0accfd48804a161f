"""Policy: files that people write → one immutable :class:`~gateway.core.snapshot.Snapshot`.

====================  ============================================================
``source.py``         strict YAML 1.2 with the line and column of everything
``schema.py``         what may stand in each file, as strict models
``problems.py``       what is wrong, where, and the nearest right word
``load.py``           a folder → a bundle, or every problem in it
``bundle.py``         the files of a folder, under one hash
``check.py``          what must agree between the files, and warnings
``compile.py``        a bundle → a snapshot: facts, connections, routes, apps, prices
``compile_rules.py``  its sentences → tables of bits
``review.py``         warnings that need the tables: an app that gets nothing
``cases.py``          the tests that stand beside the rules
``prove.py``          the sentences that must hold over every path
``render.py``         rules as sentences, in English or French
``watch.py``          reload: the last good snapshot stays when a new one is bad
====================  ============================================================
"""
