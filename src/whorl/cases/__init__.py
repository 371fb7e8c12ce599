"""Cases: kept in a folder, led by their rules, analysed blind.

May import the rooms below it. Start at `whorl.cases.casework`, one function for each thing that somebody does in a
case; what is allowed when and from whom is not decided here but in `whorl.dossiers.proceeding`, which a stranger runs
again.
"""
