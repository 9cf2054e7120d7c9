"""The one process with torch in it: takes jobs from a pipe, leaves pictures in the blob store; disposable.

`conditioning` turns physical quantities into control images, `models` finds and holds checkpoints and
ControlNets, `memory` says where they run, `sampling` makes the picture. This package never imports
`backend.service`; importing it loads neither torch nor diffusers.
"""
