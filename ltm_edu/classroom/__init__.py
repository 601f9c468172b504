"""A class: student copies of notebooks, and the grading of what comes back.

`assigning` writes the copies, `submissions` reads what students hand in, `grading` examines it and
`pages` writes the results. A student's code never runs in the process that grades. `server` forks a
process for each exercise of each student; it locks itself up (`sandbox`), runs the student's cells
and answers questions (`answering`) in plain data (`wire`). The grading process (`asking`) sends it
the inputs, compares what comes back, and believes it nothing else.
"""
